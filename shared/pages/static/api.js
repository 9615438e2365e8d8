// Shows the OpenAPI document in Swagger UI. Until it is ready, and without scripts, the page is a list of all routes.
"use strict";
const viewer = document.querySelector("#viewer");
const dark = matchMedia("(prefers-color-scheme: dark)");
const followScheme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", followScheme);
followScheme();

// Swagger UI leaves fields and regions without a name, and its headings begin below the level that comes next.
const complete = () => {
  for (const field of viewer.querySelectorAll("select:not([aria-label]), textarea:not([aria-label]), input:not([aria-label])")) {
    const row = field.closest("[data-param-name]");
    field.setAttribute("aria-label", row ? row.dataset.paramName : field.placeholder || field.id || "content type");
  }
  for (const region of viewer.querySelectorAll("[role=region]:not([aria-label])")) {
    region.setAttribute("aria-label", region.id || "responses");
  }
  for (const heading of viewer.querySelectorAll("h3, h4, h5")) {
    heading.setAttribute("aria-level", heading.tagName === "H3" ? "2" : "3");
    heading.setAttribute("role", "heading");
  }
};

SwaggerUIBundle({
  url: viewer.dataset.document,
  domNode: viewer,
  docExpansion: "none",
  defaultModelsExpandDepth: -1,
  deepLinking: false,
  validatorUrl: null,
  onComplete: () => {
    new MutationObserver(complete).observe(viewer, { childList: true, subtree: true });
    complete();
    document.querySelector("#reference").hidden = true;
    viewer.hidden = false;
  },
});
