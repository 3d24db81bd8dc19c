// Package leanhttp serves the GET requests of players over HTTP/1.1 without TLS, at less
// cost than net/http. It does little: it takes requests without a body whose header is
// plain, and hands a connection with any other request, and with the
// bytes that were read of it, to somebody who knows all of HTTP. So what it takes it
// understands as net/http does (a fuzz test says so), and what could be understood in two
// ways it does not take.
//
// Handlers are those of net/http, and answers have the same header fields as from there.
// Two things differ. A handler must not keep the request or its header when it has
// returned: a connection uses them again. And a request's context ends with the
// connection or the server, not when its client goes away, which shows at the next write.
//
// Each connection is one goroutine with a small buffer. Nobody is waited for without
// end: not for a header, not for the next request, not for a reader who does not read.
package leanhttp
