// Package node is one Sluice process: it wires the packages together, starts them in
// order and stops them in reverse. It is the only place that knows all of them; it
// holds no behaviour of its own beyond first-run credentials and the ready file.
// Package main and package servertest are its callers (docs/adr/0003).
package node
