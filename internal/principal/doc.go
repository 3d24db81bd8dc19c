// Package principal knows who calls: the users and roles of the policy directory and
// of the store, their tags, and the policies that say what they may. It turns a caller
// into compiled permissions and the facts that conditions of policies ask about.
//
// It checks no signature, decides about no request and makes no session.
//
// # The policy directory
//
//	policies/<name>.json  a policy document: arn:aws:iam::<account>:policy/<name>
//	users/<name>.json     a Spec: arn:aws:iam::<account>:user/<name>
//	roles/<name>.json     a Spec with trust: arn:aws:iam::<account>:role/<name>
//
// Other files are ignored. Directory.Run looks for changes each second. A file that is
// invalid, or that names a policy which is not there, does not take effect: what it
// said before stays in force, and log and metrics say so, until it is repaired or
// deleted. At start there is no before, so an invalid file fails the start.
//
// A user or role in the directory hides one of the same name in the store.
package principal
