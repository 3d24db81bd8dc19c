package principal

import (
	"crypto/sha256"
	"encoding/base32"
)

// uniqueID is the id that AWS would give a principal. Ours follows from the ARN, so that
// every node knows it: one deleted and made again has the same.
func uniqueID(arn string, kind Kind) string {
	prefix := "AIDA"
	if kind == Role {
		prefix = "AROA"
	}
	sum := sha256.Sum256([]byte(arn))
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:17]
}
