package xmlapi

// CreateBucketConfiguration is the body of CreateBucket.
type CreateBucketConfiguration struct {
	LocationConstraint string
	Location           *struct{} `xml:"Location"`
	Bucket             *struct{} `xml:"Bucket"`
	Tags               *struct{} `xml:"Tags"`
}

// Delete is the body of DeleteObjects.
type Delete struct {
	Quiet   bool
	Objects []DeleteObject `xml:"Object"`
}

// DeleteObject is a key to delete, and on which condition.
type DeleteObject struct {
	Key              string
	VersionID        string `xml:"VersionId"`
	ETag             *string
	LastModifiedTime *string
	Size             *string
}
