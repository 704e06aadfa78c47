// Shows what has changed since the page was loaded. Without it the page is as true, and does not move.
"use strict";
const source = new EventSource("/events");
source.onmessage = (event) => {
  for (const [name, text] of Object.entries(JSON.parse(event.data))) {
    for (const element of document.querySelectorAll(`[data-live="${name}"]`)) {
      if (element.tagName === "PROGRESS") element.value = Number(text);
      else element.textContent = text;
    }
  }
  document.getElementById("live").textContent = "live";
};
source.onerror = () => { document.getElementById("live").textContent = "not live: the command has ended, or is busy"; };
