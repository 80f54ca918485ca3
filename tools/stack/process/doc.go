// Package process runs programs that outlive who started them, and finds them again.
//
// A [Group] is the processes of one data folder. Each runs in a session of its own, writes to a log, and is recorded in a file
// with its process id, the time it started and how to start it again: any later program can ask after it, stop, kill, pause or
// start it by its name.
//
// Invariants: a signal goes only to a process that was started here. Its id alone does not say so, because ids are used again:
// the start time and the boot must agree too, and they are compared while a handle (pidfd) keeps the process from being replaced.
// What such a process itself started is known by a variable in its environment that names the group and the process.
// Every wait is bounded. Start reading at [Group.Run].
package process
