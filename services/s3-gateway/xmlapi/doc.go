// Package xmlapi reads and writes the XML of S3's API.
//
// Writing is by hand (Writer), because listings are hot and because S3's XML
// holds characters that XML 1.0 does not know. Reading (Decode) is by
// encoding/xml, bounded, without document types: an entity that XML does not define itself is an error.
package xmlapi
