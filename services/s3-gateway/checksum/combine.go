package checksum

import "encoding/binary"

// crc describes a cyclic redundancy check with reflected bits whose register starts as, and is finally combined with,
// all ones: as all three of S3 are.
type crc struct {
	poly  uint64 // reflected
	width uint
}

var crcs = map[Algorithm]crc{
	CRC32:     {0xEDB88320, 32},
	CRC32C:    {0x82F63B78, 32},
	CRC64NVME: {0x9A6C9329AC4BC9B5, 64},
}

// times multiplies two polynomials modulo the check's own. The highest bit stands for x^0.
func (c crc) times(a, b uint64) uint64 {
	var product uint64
	for bit := uint64(1) << (c.width - 1); bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ c.poly
		} else {
			b >>= 1
		}
	}
	return product
}

// shift is x^(8n): what a checksum is multiplied by when n bytes follow.
func (c crc) shift(n uint64) uint64 {
	result := uint64(1) << (c.width - 1)    // x^0
	power := uint64(1) << (c.width - 1 - 8) // x^8
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			result = c.times(result, power)
		}
		power = c.times(power, power)
	}
	return result
}

// combine is the check of two pieces one after the other, from their checks and the second one's length in bytes.
func (c crc) combine(first, second, secondLength uint64) uint64 {
	return c.times(c.shift(secondLength), first) ^ second
}

func (a Algorithm) number(sum []byte) uint64 {
	if a.Size() == 4 {
		return uint64(binary.BigEndian.Uint32(sum))
	}
	return binary.BigEndian.Uint64(sum)
}

func (a Algorithm) bytes(n uint64) []byte {
	if a.Size() == 4 {
		return binary.BigEndian.AppendUint32(nil, uint32(n))
	}
	return binary.BigEndian.AppendUint64(nil, n)
}
