// Command testrun is behind "make test": it runs the named parts of the tests, each within a time limit, and ends with one line
// that counts them. The parts run one after the other, those on real parts of the stack beside the others.
//
//	go run ./tools/testrun                 # all parts
//	go run ./tools/testrun unit s3-nodes   # some; "s3" means all that begin with it
//	make test PART="unit s3-nodes"         # the same
//	go run ./tools/testrun --list
//
// What a part prints goes to var/test/<part>.log; the terminal shows progress, what failed, and a table at the end. A part that did
// not run counts as failed, and so does a test that was skipped without a reason. Start reading at parts.go.
package main
