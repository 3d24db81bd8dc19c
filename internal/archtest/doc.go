// Package archtest holds the rules of this tree as tests: which package may import
// which, what no file may contain, and that the documents which list things
// (dependencies, operations, links) list the real ones. It exports nothing; a rule
// that looks wrong is changed here, in review, next to the change that needs it.
package archtest
