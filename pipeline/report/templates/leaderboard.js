(() => {
  const table = document.querySelector("table.board");
  const body = table.tBodies[0];
  const rows = [...body.rows].map(row => ({row, text: row.textContent.toLowerCase()}));
  const filter = document.querySelector("#filter");
  const shown = document.querySelector("#shown");
  const command = document.querySelector("#command");

  const show = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(word => word);
    let num = 0;
    for (const {row, text} of rows) {
      row.hidden = !words.every(word => text.includes(word));
      num += !row.hidden;
    }
    shown.textContent = `${num.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
  };

  const sort = (head, column) => {
    const isFalling = head.getAttribute("aria-sort") === "none"
      ? head.dataset.first === "descending"
      : head.getAttribute("aria-sort") === "ascending";
    for (const each of table.tHead.querySelectorAll("[aria-sort]")) {
      each.setAttribute("aria-sort", "none");
    }
    head.setAttribute("aria-sort", isFalling ? "descending" : "ascending");

    const keyed = rows.map(each => {
      const value = each.row.cells[column].dataset.value;
      return {...each, value: head.dataset.kind === "number" && value ? Number(value) : value};
    });
    keyed.sort((one, other) => {
      // What has no value comes last, in either direction.
      if (one.value === "" || other.value === "") return (one.value === "") - (other.value === "");
      const order = one.value < other.value ? -1 : one.value > other.value ? 1 : 0;
      return isFalling ? -order : order;
    });
    body.append(...keyed.map(each => each.row));
  };

  const choose = () => {
    const chosen = [...body.querySelectorAll("input:checked")].map(box => box.value);
    command.textContent = chosen.length > 1
      ? `seqline compare ${chosen.join(" ")}${command.dataset.end}`
      : "Choose two or more runs to compare them.";
  };

  for (const head of table.tHead.querySelectorAll("[aria-sort]")) {
    head.querySelector("button").addEventListener("click", () => sort(head, head.cellIndex));
  }
  filter.addEventListener("input", show);
  body.addEventListener("change", choose);
  document.querySelector("#controls").hidden = false;
  show();
  choose();
})();
