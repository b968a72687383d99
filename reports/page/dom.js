// Elements and texts: nothing of a record is ever read as markup.

const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

function node(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) made.setAttribute(name, value);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

function drawn(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const button = (text, act, attributes) => {
  const made = node("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", act);
  return made;
};

async function copied(text, within) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = node("textarea", { class: "unseen" });
    area.value = text;
    within.append(area); // inside the open dialog: nothing outside it takes the focus
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
