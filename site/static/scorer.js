// What a search shows first: pages whose title was asked for, lessons before the modules they make,
// and names that were asked for; lists of everything come last. Behind a title stands its part.
// A result is [document, title, anchor, description, score, file, kind].
const askedFor = () => (new URLSearchParams(window.location.search).get("q") || "").trim().toLowerCase();
const places = /* written by the converter: document → part and kind */ {};
const LISTS = ["gallery", "glossary", "results", "course"];
var Scorer = {
  score: result => {
    const [document_, title, , description, score] = result;
    if (!document_.startsWith("api/")) {
      const asked = title.toLowerCase().includes(askedFor()) ? 12 : 0;
      const place = places[document_] || "";
      if (place && !description) result[1] = `${title} — ${place}`;
      return score + asked + (place.endsWith("lesson") ? 2 : 0) - (LISTS.includes(document_) ? 12 : 0);
    }
    const name = title.split(".").pop().toLowerCase();
    const whole = /^Python (function|class|exception)/.test(description || "");
    return whole && name === askedFor() ? score : score - 15;
  },
  objNameMatch: 11, objPartialMatch: 6, objPrio: {0: 15, 1: 5, 2: -5}, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,
};
