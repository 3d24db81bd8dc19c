// Package e2e tells the stories of the product against the real program, as its users
// do: with the stock AWS SDK and CLI, over RTMP, as a player over HLS, and from the
// command line. It looks inside only to read the database that a killed process left.
// What a picture looks like on a screen is for package browser.
package e2e
