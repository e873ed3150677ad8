// The list of keys that "?" shows and hides. `actions` are those of the moment, each with its key and text.

function toggleKeys(place, actions, others) {
  place.hidden = !place.hidden;
  if (place.hidden) return;
  const list = element("dl");
  for (const [key, text] of [...actions.filter((act) => act.key).map((act) => [act.key, act.text]), ...others]) {
    const name = element("dt");
    name.append(element("kbd", "", key));
    list.append(name, element("dd", "", text));
  }
  place.replaceChildren(element("b", "", "Keys"), list);
}
