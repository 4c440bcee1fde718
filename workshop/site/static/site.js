// What scrolls can be reached with the keyboard; what does not scroll is no stop on the way.
const scrolling = () => {
  for (const box of document.querySelectorAll("pre, .table-wrapper, .cell_output .output")) {
    if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
addEventListener("load", scrolling);
addEventListener("resize", scrolling);
