// Package readme runs the commands of README.md, word for word, against a running Garage: each ```sh fence, in order, in one shell.
package readme
