// What wide things and figures do in a browser. Without it they scroll, and a figure is what it is.
"use strict";
(() => {
  const WIDE = "pre, .nc-claims, .nc-scroll, .cell_output .output, .pst-scrollable-table-container, div.math";

  // A fade at the right edge for as long as something is left to scroll there; the keyboard reaches what scrolls.
  function mark(box) {
    const left = box.scrollWidth - box.clientWidth - box.scrollLeft;
    const fits = box.matches("mjx-container:not([display], .nc-long)"); // its slanted letters reach over its box
    box.classList.toggle("nc-more", left > 1 && !fits);
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

  // A formula that is too long for a phone is set smaller, as far as it can be read. What is longer still scrolls.
  const SMALLEST = 0.7;
  function fit(formula, room) {
    if (Number(formula.dataset.room) === room) return;
    formula.dataset.room = room;
    formula.dataset.size ??= formula.style.fontSize; // what MathJax gave it
    formula.style.fontSize = formula.dataset.size;
    const share = room / Math.max(formula.firstElementChild.getBoundingClientRect().width + 1, formula.scrollWidth);
    const size = share * parseFloat(getComputedStyle(formula).fontSize);
    if (share < 1 && share >= SMALLEST) formula.style.setProperty("font-size", `${size}px`, "important");
  }

  // Mathematics is there once it is typeset. A formula in a line that is longer than the line scrolls as well.
  function formulas() {
    document.querySelectorAll("article mjx-container[display='true']").forEach(formula => {
      new ResizeObserver(() => fit(formula, formula.clientWidth)).observe(formula);
      watch(formula);
    });
    document.querySelectorAll("article mjx-container:not([display])").forEach(formula => {
      const block = formula.parentElement.closest("p, li, td, th, dd, figcaption");
      let watched = false;
      const long = () => {
        fit(formula, block.clientWidth);
        const wide = formula.firstElementChild.getBoundingClientRect().width > block.clientWidth + 1;
        formula.classList.toggle("nc-long", wide);
        if (wide && !watched) watch(formula);
        else if (watched) mark(formula);
        watched ||= wide;
      };
      if (block) new ResizeObserver(long).observe(block);
    });
  }

  // The ledger's choices, kept in the address: ?verdict=fails&page=08-depth.
  function filter(form) {
    const lines = [...document.querySelectorAll(".nc-headline")];
    const asked = new URLSearchParams(location.search);
    [...form.elements].filter(field => asked.has(field.name)).forEach(field => { field.value = asked.get(field.name); });
    form.hidden = false;

    function apply() {
      const chosen = [...new FormData(form)].filter(([, value]) => value);
      lines.forEach(line => {
        const facts = { ...line.dataset, ...line.closest("[data-page]").dataset };
        line.hidden = !chosen.every(([name, value]) => facts[name].split("|").includes(value));
      });
      document.querySelectorAll("[data-page]").forEach(page => {
        page.hidden = !page.querySelector(".nc-headline:not([hidden])");
      });
      form.querySelector("output").textContent = `${lines.filter(line => !line.hidden).length} of ${lines.length} statements`;
      const query = new URLSearchParams(chosen).toString();
      history.replaceState(null, "", location.pathname + (query && "?" + query) + location.hash);
    }
    form.addEventListener("change", apply);
    form.addEventListener("reset", () => setTimeout(apply));
    apply();
  }

  // What a link leads to is opened, also where a line or a choice hides it.
  function open() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let at = target; at; at = at.parentElement) {
      at.hidden = false;
      if (at.tagName === "DETAILS") at.open = true;
    }
    if (target) target.scrollIntoView();
  }

  document.addEventListener("DOMContentLoaded", () => {
    setTimeout(start); // when live figures have made their tables
    document.querySelectorAll(".nc-filter").forEach(filter);
    open();
    window.addEventListener("hashchange", open);
    const math = window.MathJax && MathJax.startup && MathJax.startup.promise;
    if (math) math.then(formulas);
  });
})();
