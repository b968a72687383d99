// Dialogs close by their button or a click beside them; pictures open in full size.

for (const box of all("dialog")) {
  find(".close", box).addEventListener("click", () => box.close());
  box.addEventListener("click", (event) => {
    if (event.target === box) box.close();
  });
}

for (const figure of all("#pictures figure")) {
  const small = find("img", figure);
  const open = () => {
    const large = find("#picture img");
    large.src = small.src;
    large.alt = small.alt;
    find("#picture").showModal();
  };
  const opener = button("", open, { class: "enlarge", "aria-label": `Full size: ${small.alt}` });
  small.replaceWith(opener);
  opener.append(small);
}
