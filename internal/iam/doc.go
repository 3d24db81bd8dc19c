// Package iam reads IAM policy documents and decides with them: may this principal do
// this action to this resource, as things are? It is the policy language of AWS as its
// user guide describes it, for identity policies, session policies and the trust
// policies of roles.
//
// It knows no service, no principal and no request: actions, resources and condition
// keys are strings that its caller fills in. It has no resource policies, permission
// boundaries or organizations.
//
// A document is compiled once by Parse, which refuses whatever it does not know, and
// evaluated any number of times, by many goroutines at once.
//
// # Where the user guide leaves room
//
//   - A resource pattern is matched segment by segment, as ArnLike is: * and ? do not
//     cross the first five colons, and in the sixth part they cross anything. An ARN of
//     fewer than six parts is completed with *, the service part has no wildcard.
//   - A variable in a policy stands for exactly its value: a * in a user's name is a *.
//   - A variable without a value (no such key, several values, or no default) never
//     widens what a policy allows: a comparison with it fails, and if the comparison is
//     a negated one (StringNotEquals, NotResource) it fails in an Allow statement and
//     holds in a Deny statement.
//   - A condition key that two tags of a resource share (keys of conditions ignore
//     case, tags do not) has no one value: no Allow statement that asks for it applies,
//     every Deny statement does.
//   - A key with several values, compared without a set operator, matches if one of
//     its values does, and a negated operator holds if none does.
package iam
