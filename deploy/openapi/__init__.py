"""The OpenAPI document, made from what both tiers declare: `python -m deploy.openapi`."""
