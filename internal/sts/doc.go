// Package sts is the part of AWS's Security Token Service that clients of IVS use:
// GetCallerIdentity, AssumeRole and GetSessionToken, in the Query protocol of version
// 2011-06-15. It hands out temporary keys.
//
// A session is not stored anywhere: its token holds all of it, the secret key
// included, sealed with a key that the nodes share through the store. So every node
// opens a token, a restart forgets none, and nothing has to be cleaned up. What a
// session may is not in the token but asked of package principal at each request: a
// role that is changed or deleted takes its sessions along.
//
// It checks no signature; its caller has done that. There are no federated users, no
// MFA devices and no identity providers.
package sts
