// Package program is what the mains of all Garage programs have in common, so that each is about
// twenty lines: settings, logs, data folder, administration server, signals, and the order of
// starting and stopping.
//
// A main gives [Command] its configuration and a function that adds its services to the program. The
// administration server starts first and stops last; it says that it is serving only while every
// service is ready and none has been asked to stop.
//
// Start reading at [Run].
package program
