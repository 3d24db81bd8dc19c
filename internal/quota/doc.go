// Package quota holds the limits of the service: how many requests a second an account
// may make in a region, and how many resources it may have there. A Profile is a whole
// set of them: the one that AWS publishes, the one of a server that its owner runs, or
// what a file says. Throttle counts requests against a Profile.
//
// It counts no resources: whoever makes one counts and compares (package control in the
// transaction that inserts, package stream when an encoder comes). Limits that the API's
// models carry, such as the length of a list, are no quotas; they always hold.
package quota
