// What wide things and figures do in a browser. Without it they scroll, and a figure is what it is.
"use strict";
(() => {
  const WIDE = "pre, .nc-claims, .nc-scroll, .cell_output .output, .pst-scrollable-table-container, div.math, "
    + "mjx-container[display='true']";

  // A fade at the right edge for as long as something is left to scroll there; the keyboard reaches what scrolls.
  function mark(box) {
    const left = box.scrollWidth - box.clientWidth - box.scrollLeft;
    box.classList.toggle("nc-more", left > 1);
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
  }

  function watch(box) {
    const sizes = new ResizeObserver(() => mark(box));
    sizes.observe(box);
    if (box.firstElementChild) sizes.observe(box.firstElementChild);
    box.addEventListener("scroll", () => mark(box), { passive: true });
  }

  // A figure fills the screen when it is tapped, at the size of its file, and goes when it is tapped again.
  function zoom(image) {
    const box = document.createElement("dialog");
    const copy = new Image();
    copy.src = image.src;
    copy.alt = image.alt;
    box.className = "nc-zoom";
    box.append(copy);
    box.addEventListener("click", () => box.close());
    box.addEventListener("close", () => box.remove());
    document.body.append(box);
    box.showModal();
  }

  function start() {
    document.querySelectorAll("article").forEach(article => {
      article.querySelectorAll(WIDE).forEach(watch);
      article.querySelectorAll("img:not(a img, .nc-plain)").forEach(image => {
        image.classList.add("nc-tap");
        image.addEventListener("click", () => zoom(image));
      });
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    start();
    if (window.MathJax && MathJax.startup && MathJax.startup.promise) MathJax.startup.promise.then(() => document.querySelectorAll("article mjx-container[display='true']").forEach(watch));
  });
})();
