// What wide things and figures do in a browser. Without it they scroll, and a figure is what it is.
"use strict";
(() => {
  const WIDE = "pre, .nc-claims, .nc-scroll, .cell_output .output, .pst-scrollable-table-container, div.math";

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
    copy.src = image.currentSrc;
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

  // Mathematics is there once it is typeset. A formula in a line that is longer than the line scrolls as well.
  function formulas() {
    document.querySelectorAll("article mjx-container[display='true']").forEach(watch);
    document.querySelectorAll("article mjx-container:not([display])").forEach(formula => {
      const block = formula.parentElement.closest("p, li, td, th, dd, figcaption");
      const long = () => formula.classList.toggle("nc-long",
        formula.firstElementChild.getBoundingClientRect().width > block.clientWidth + 1);
      if (block) new ResizeObserver(long).observe(block);
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    start();
    const math = window.MathJax && MathJax.startup && MathJax.startup.promise;
    if (math) math.then(formulas);
  });
})();
