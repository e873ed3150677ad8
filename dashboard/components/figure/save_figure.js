// Plotly, which the page has loaded to draw the figure, also writes it: nothing is asked of a server.
const DOTS_PER_PIXEL = 3;

export default function ({ data, parentElement }) {
  for (const button of parentElement.querySelectorAll("button")) {
    const { format } = button.dataset;
    button.setAttribute("aria-label", `Save ${data.title} as ${format.toUpperCase()}`);
    button.onclick = async () => {
      const drawn = document.querySelector(`.${CSS.escape(data.figure)} .js-plotly-plot`);
      if (!drawn || !window.Plotly) return;
      const { width, height } = drawn._fullLayout;
      // On the card's colour: the reader's theme decides the letters', which another background might swallow.
      const paper = getComputedStyle(parentElement.host || parentElement).getPropertyValue("--st-secondary-background-color");
      await window.Plotly.downloadImage(
        { data: drawn.data, layout: { ...drawn.layout, paper_bgcolor: paper.trim() || "#ffffff" } },
        { format, width, height, scale: format === "png" ? DOTS_PER_PIXEL : 1, filename: data.name }
      );
    };
  }
}
