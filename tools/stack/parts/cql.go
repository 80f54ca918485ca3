package parts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
)

// Consistency levels of the CQL protocol, which happen to be the number of replicas that must answer.
const (
	one  uint16 = 1
	most uint16 = 3 // as many replicas as the system keyspaces have
)

// Opcodes of the CQL protocol, version 4.
const (
	opError        = 0x00
	opStartup      = 0x01
	opReady        = 0x02
	opAuthenticate = 0x03
	opQuery        = 0x07
	opResult       = 0x08
	opAuthResponse = 0x0f
	opAuthSuccess  = 0x10
)

// The first account of a server that asks for one.
const (
	cqlUser     = "cassandra"
	cqlPassword = "cassandra"
)

// askCQL runs one query that reads, without a driver: a few bytes of the protocol say more than an open port does, and a
// driver would wait, reconnect and discover. With the certificate of a CA it speaks TLS and signs in.
func askCQL(ctx context.Context, address, ca string, consistency uint16, query string) error {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	conn, err := dialCQL(ctx, address, ca)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // All that was asked for has been read.
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	startup := binary.BigEndian.AppendUint16(nil, 1)
	startup = appendString(appendString(startup, "CQL_VERSION"), "3.0.0")
	if ca == "" {
		err = exchange(conn, opStartup, startup, opReady)
	} else if err = exchange(conn, opStartup, startup, opAuthenticate); err == nil {
		account := "\x00" + cqlUser + "\x00" + cqlPassword
		err = exchange(conn, opAuthResponse, append(binary.BigEndian.AppendUint32(nil, uint32(len(account))), account...), opAuthSuccess)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	body := binary.BigEndian.AppendUint32(nil, uint32(len(query)))
	body = append(body, query...)
	body = binary.BigEndian.AppendUint16(body, consistency)
	body = append(body, 0) // no flags
	if err := exchange(conn, opQuery, body, opResult); err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	return nil
}

func dialCQL(ctx context.Context, address, ca string) (net.Conn, error) {
	if ca == "" {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("no certificate in %s", ca)
	}
	d := tls.Dialer{Config: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	return d.DialContext(ctx, "tcp", address)
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// exchange sends a frame and expects one with the opcode.
func exchange(conn net.Conn, op byte, body []byte, want byte) error {
	frame := []byte{4, 0, 0, 0, op}
	frame = append(binary.BigEndian.AppendUint32(frame, uint32(len(body))), body...)
	if _, err := conn.Write(frame); err != nil {
		return err
	}
	header := make([]byte, 9)
	if _, err := io.ReadFull(conn, header); err != nil {
		return err
	}
	answer := make([]byte, min(binary.BigEndian.Uint32(header[5:]), 1<<20))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	switch {
	case header[4] == want:
		return nil
	case header[4] == opError && len(answer) > 6:
		return fmt.Errorf("error %#x: %s", binary.BigEndian.Uint32(answer), answer[6:])
	default:
		return fmt.Errorf("answer %#x to request %#x", header[4], op)
	}
}
