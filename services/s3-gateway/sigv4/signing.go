package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"sync"
)

// Seed is what the signatures of an aws-chunked body build on.
type Seed struct {
	Key       [32]byte // the signing key of the request's day
	Timestamp string   // the request's time, as signed
	Scope     string   // the credential scope
	Signature string   // the request's own signature, 64 hexadecimal digits
}

func hmacSHA256(key []byte, message string) (sum [32]byte) {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	h.Sum(sum[:0])
	return sum
}

// deriveKey makes the signing key of a day, a region and a service from the secret.
func deriveKey(secret, date, region string) [32]byte {
	k := hmacSHA256([]byte("AWS4"+secret), date)
	k = hmacSHA256(k[:], region)
	k = hmacSHA256(k[:], service)
	return hmacSHA256(k[:], terminator)
}

// appendStringToSign writes what the signature of a canonical request is made over.
func appendStringToSign(dst []byte, c *claim, canonical []byte) []byte {
	digest := sha256.Sum256(canonical)
	dst = append(dst, algorithm...)
	dst = append(dst, '\n')
	dst = append(dst, c.timestamp...)
	dst = append(dst, '\n')
	dst = append(dst, c.scope...)
	dst = append(dst, '\n')
	return hex.AppendEncode(dst, digest[:])
}

// sign gives the signature in hexadecimal.
func sign(key *[32]byte, stringToSign []byte) (sig [64]byte) {
	h := hmac.New(sha256.New, key[:])
	h.Write(stringToSign)
	var sum [32]byte
	hex.Encode(sig[:], h.Sum(sum[:0]))
	return sig
}

// MAC is what signs chunks and trailers: HMAC-SHA256 under the signing key.
func (s *Seed) MAC() hash.Hash { return hmac.New(sha256.New, s.Key[:]) }

// Equal compares a signature with one that a client sent, in constant time.
func Equal(want [64]byte, got string) bool {
	return len(got) == len(want) && subtle.ConstantTimeCompare(want[:], []byte(got)) == 1
}

// keyID has the secret in it, so that a changed secret never finds a key derived from the old one.
type keyID struct{ accessKey, secret, date, region string }

// keyCache keeps derived keys in two generations: when the young one is full it becomes the old one and the old one is
// dropped, so that what is in use stays and memory is bounded.
type keyCache struct {
	mu         sync.Mutex
	young, old map[keyID][32]byte
	half       int
}

func newKeyCache(size int) *keyCache {
	return &keyCache{half: max(size/2, 1), young: map[keyID][32]byte{}}
}

func (c *keyCache) get(id keyID) [32]byte {
	c.mu.Lock()
	key, ok := c.young[id]
	if !ok {
		if key, ok = c.old[id]; ok {
			c.put(id, key)
		}
	}
	c.mu.Unlock()
	if ok {
		return key
	}
	key = deriveKey(id.secret, id.date, id.region)
	c.mu.Lock()
	c.put(id, key)
	c.mu.Unlock()
	return key
}

func (c *keyCache) put(id keyID, key [32]byte) {
	if len(c.young) >= c.half {
		c.old, c.young = c.young, make(map[keyID][32]byte, c.half)
	}
	c.young[id] = key
}
