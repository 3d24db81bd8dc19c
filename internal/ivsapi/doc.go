// Package ivsapi is the wire of Amazon IVS low-latency streaming as its model in
// api/ivs.json has it: request and response types, how they are read, checked and
// written, and which errors an operation may answer. All but this file is generated.
// It has no behaviour: package control supplies Operations.
package ivsapi

//go:generate go run ../apigen/gen ../../api/ivs.json
