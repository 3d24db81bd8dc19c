// Package chatapi is the wire of Amazon IVS Chat's control plane as its model in
// api/ivschat.json has it: request and response types, how they are read, checked and
// written, and which errors an operation may answer. All but this file is generated.
// It has no behaviour: package control supplies Operations.
package chatapi

//go:generate go run ../apigen/gen ../../api/ivschat.json
