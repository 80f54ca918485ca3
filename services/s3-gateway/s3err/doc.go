// Package s3err names every error the gateway may answer with: S3's code, its HTTP status and its standard message.
//
// A Code is itself an error, so that the common case reads "return s3err.NoSuchKey". Where more is to be said (another
// message, the resource, elements such as Region or ServerTime, the cause for the log) Code.Msg, Code.Because and the
// With… methods make an *Error. Both satisfy errors.Is(err, s3err.NoSuchKey), and From finds either in a chain.
//
// The package knows nothing of how errors of other layers become S3 codes; the gateway does that in one place.
//
// Codes, statuses and messages follow the list of error responses in the Amazon S3 API reference.
package s3err
