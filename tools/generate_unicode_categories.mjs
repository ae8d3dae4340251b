// Writes runtime/text/unicode_categories.inc from Unicode 15.1's data.
// usage: npm install --no-save @unicode/unicode-15.1.0 && node tools/generate_unicode_categories.mjs > runtime/text/unicode_categories.inc

// Whitespace goes last: it overrides a code point's general category.
const sources = [
  ['kLetter', 'General_Category/Letter'],
  ['kMark', 'General_Category/Mark'],
  ['kNumber', 'General_Category/Number'],
  ['kPunctuation', 'General_Category/Punctuation'],
  ['kSymbol', 'General_Category/Symbol'],
  ['kWhitespace', 'Binary_Property/White_Space'],
];

const category = new Array(0x110000).fill('kOther');
for (const [name, path] of sources) {
  const {default: codePoints} = await import(`@unicode/unicode-15.1.0/${path}/code-points.mjs`);
  for (const c of codePoints) category[c] = name;
}

console.log('// First code point of each run of one category, and the category: Unicode 15.1.');
console.log('// Written by tools/generate_unicode_categories.mjs.');
console.log('// clang-format off');
let line = '';
for (let c = 0; c < category.length; ++c) {
  if (c > 0 && category[c] === category[c - 1]) continue;
  const entry = `UNICODE_RUN(0x${c.toString(16)}, ${category[c]})`;
  if (line.length + entry.length + 1 > 100) {
    console.log(line);
    line = '';
  }
  line += line === '' ? entry : ` ${entry}`;
}
console.log(line);
