// Package restjson is the runtime under the generated API packages: it checks who
// calls, finds the operation, reads and writes restJson1 bodies and maps errors to
// the wire. The pipeline of a request is Gateway.ServeHTTP, top to bottom, and no
// operation can skip a step of it.
//
// It knows no operation and no rule of one (packages ivsapi and chatapi are
// generated for that), verifies no signature itself (it is handed an Authenticator)
// and opens no listener.
package restjson
