"""The OpenAPI document, made from the declarations of both tiers: `python -m deploy.openapi`."""
