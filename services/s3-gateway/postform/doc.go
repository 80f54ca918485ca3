// Package postform reads the browser's way of uploading: POST of a multipart/form-data body to a bucket, whose last
// field is the file.
//
// The order of use: Parse reads the fields up to the file; Form.Auth gives what sigv4 verifies; Form.Policy decodes the
// policy document; Policy.Check compares it with the fields; Form.File is then read to io.EOF, with the length that
// the policy allows enforced; Form.Success says how to answer.
//
// Invariants:
//   - Fields before the file take at most maxFields bytes of memory, however they are written.
//   - A form with a policy is refused if any of its fields is not covered by a condition, but for those that S3 exempts.
//   - A file is good only when Read has answered io.EOF.
//
// The rules follow "Browser-Based Uploads Using POST (AWS Signature Version 4)" in the Amazon S3 API reference.
package postform
