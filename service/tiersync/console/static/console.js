// What the page does beyond htmx: it does not ask while nobody looks, and asks at once when somebody looks again.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.elt.id === "live") event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) htmx.trigger("#live", "look");
});
// A connection that is lost is said, not hidden: old figures must not pass for new ones.
const lost = (event, text) => {
  if (event.detail.elt.id !== "live") return;
  document.getElementById("lost").textContent = text;
};
document.addEventListener("htmx:sendError", (event) => lost(event, "No connection: what you see may be old."));
document.addEventListener("htmx:responseError", (event) => lost(event, "The service does not answer: what you see may be old."));
document.addEventListener("htmx:beforeOnLoad", (event) => {
  if (event.detail.xhr.status < 400) lost(event, "");
});
