// What a search shows first: pages whose title or word in the index was asked for, lessons before the
// modules they make, and names that were asked for; lists of everything come last. Behind a title
// stands its part, below it the page's claim.
// A result is [document, title, anchor, description, score, file, kind].
const askedFor = () => (new URLSearchParams(window.location.search).get("q") || "").trim().toLowerCase();
const told = /* written by the converter: document → part and kind, document → claim */ {};
const LISTS = ["gallery", "glossary", "results", "course", "changes"];
const many = (text, words) => words.filter(word => text.includes(word)).length;
var Scorer = {
  score: result => {
    const [document_, title, , description, score, , kind] = result;
    const name = title.toLowerCase();
    if (document_.startsWith("api/")) {
      const whole = /^Python (function|class|exception)/.test(description || "");
      return whole && name.split(".").pop() === askedFor() ? score : score - 15;
    }
    if (!description && !title.includes(" > ")) result[2] = ""; // The same page once
    const place = told.places[document_] || "", claim = told.claims[document_];
    if (place && !description) result[1] = `${title} — ${place}`;
    if (claim && !description) result[3] = claim;
    const words = askedFor().split(/[^\p{Letter}\p{Number}]+/u).filter(word => word.length > 2);
    const titled = name === askedFor() ? 100 : name.includes(askedFor()) ? 12 : 0;
    const near = kind === "text" ? 4*many(name, words) + 2*many((claim || "").toLowerCase(), words) : 0;
    return score + titled + near + (place.endsWith("lesson") ? 2 : 0)
      - (LISTS.includes(document_) ? 12 : 0);
  },
  objNameMatch: 11, objPartialMatch: 6, objPrio: {0: 15, 1: 5, 2: -5}, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,
};
