// Package browser tests the page in a headless Chromium, against the real program: a demo with its PostgreSQL and its
// broker, and beside it a group of its own on a table of texts. `make test-browser` runs it; BRIMLINE_SCREENSHOTS names
// a directory for a picture of every view that a test has looked at.
//
// testdata/axe.min.js is axe-core 4.14.1 as npm has it, under the Mozilla Public License 2.0 (its head says so). To
// renew it: `npm pack axe-core@VERSION`, and take package/axe.min.js.
package browser
