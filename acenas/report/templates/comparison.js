// Sorts a table by the column whose head is clicked; shows the rows and figures that hold the text of the filter.
const value = cell => cell.dataset.value === undefined ? cell.textContent : parseFloat(cell.dataset.value);
const compare = (a, b) => typeof a === "number" && typeof b === "number"
  ? (isNaN(a) ? -Infinity : a) - (isNaN(b) ? -Infinity : b) : String(a).localeCompare(String(b));
function sort(head) {
  const rising = head.getAttribute("aria-sort") === "descending";
  for (const other of head.parentNode.children) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const body = head.closest("table").tBodies[0], place = head.cellIndex;
  const rows = [...body.rows].sort((a, b) => compare(value(a.cells[place]), value(b.cells[place])));
  body.append(...(rising ? rows : rows.reverse()));
}
for (const head of document.querySelectorAll("th[aria-sort]")) {
  head.addEventListener("click", () => sort(head));
  head.addEventListener("keydown", event => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();  // the space bar would scroll
    sort(head);
  });
}
document.getElementById("filter").addEventListener("input", event => {
  const wanted = event.target.value.toLowerCase();
  for (const row of document.querySelectorAll("tbody tr, figure:has(figcaption)"))
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
});
