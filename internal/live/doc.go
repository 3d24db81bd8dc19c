// Package live holds the nouns of the service: ARNs and ids, channels, stream keys,
// streams and sessions, and the kinds of error a caller can act on. It knows no
// wire, no database and no media; everything else may import it.
package live
