"use strict";
for (const form of document.querySelectorAll("form.mix")) {
  const { columns } = form.dataset;
  const axes = [...form.querySelectorAll("fieldset")].map((axis) => [...axis.querySelectorAll("input")]);
  const chosen = [...form.querySelectorAll(".chosen .tile")];
  const result = form.querySelector(".result");
  const show = () => {
    let index = 0;
    const names = axes.map((options, k) => {
      const at = options.findIndex((option) => option.checked);
      index = index * options.length + at;
      chosen[k].style.cssText = options[at].nextElementSibling.querySelector(".tile").style.cssText;
      return `${options[at].name} from ${options[at].dataset.label}`;
    });
    result.style.cssText = `--x: ${index % columns}; --y: ${Math.floor(index / columns)}`;
    result.setAttribute("aria-label", `Mixture: ${names.join(", ")}`);
  };
  axes.forEach((options, k) => { options[k % options.length].checked = true; });
  form.addEventListener("change", show);
  show();
}
