// Adds a button to each command, which copies the command. Without this script the pages lack nothing else.
"use strict";
for (const command of document.querySelectorAll(".command")) {
  const button = document.createElement("button");
  const code = command.querySelector("code");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy the command " + code.textContent.trim().split("\n")[0]);
  button.addEventListener("click", async () => {
    let copied = true;
    try {
      await navigator.clipboard.writeText(code.textContent.trim());
    } catch {
      // Without https there is no clipboard API: select the text and copy the selection.
      getSelection().selectAllChildren(code);
      copied = document.execCommand("copy");
    }
    button.textContent = copied ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  command.append(button);
}
