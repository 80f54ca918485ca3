// Package lifecycle starts and stops services, one way for all of them.
//
// A service is anything with Run(ctx) error: it works until its context ends, then finishes what it
// has begun and returns. A service that can say when it is ready also implements [Readier]. A [Group]
// runs several in order and is a service itself, so groups nest: standalone is a group of the four
// services, each of which may be a group of servers and background work.
//
// Invariants:
//   - a member starts only when every member before it is ready;
//   - members stop in reverse order, each within the group's deadline;
//   - the first failure stops the group and is returned with the member's name;
//   - Run returns only when every member has returned, or has been reported as overdue.
//
// Start reading at [Group.Run]. [Signals] turns SIGINT and SIGTERM into the end of a context.
package lifecycle
