package xmlapi

// CompleteMultipartUpload is the body of CompleteMultipartUpload.
type CompleteMultipartUpload struct {
	Parts []CompletedPart `xml:"Part"`
}

// CompletedPart names a part of the object, with its checksum if the client knows it.
type CompletedPart struct {
	PartNumber        int
	ETag              string
	ChecksumCRC32     string
	ChecksumCRC32C    string
	ChecksumCRC64NVME string
	ChecksumSHA1      string
	ChecksumSHA256    string
}

// Checksum is the checksum that the client names for an algorithm, or "".
func (p *CompletedPart) Checksum(algorithm string) string {
	switch algorithm {
	case "CRC32":
		return p.ChecksumCRC32
	case "CRC32C":
		return p.ChecksumCRC32C
	case "CRC64NVME":
		return p.ChecksumCRC64NVME
	case "SHA1":
		return p.ChecksumSHA1
	case "SHA256":
		return p.ChecksumSHA256
	}
	return ""
}

// HasChecksum reports whether the client names any.
func (p *CompletedPart) HasChecksum() bool {
	return p.ChecksumCRC32+p.ChecksumCRC32C+p.ChecksumCRC64NVME+p.ChecksumSHA1+p.ChecksumSHA256 != ""
}
