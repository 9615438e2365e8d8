// What a Go program that uses archive/tar does with archives.
//
//	archive unpack ARCHIVE DIRECTORY        writes what the archive holds
//	archive pack ARCHIVE DIRECTORY PATH...  packs the files at these paths
package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func unpack(archive, directory string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	members := tar.NewReader(file)
	for {
		header, err := members.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := write(filepath.Join(directory, header.Name), header, members); err != nil {
			return err
		}
	}
}

// write stores one member. Go programs ask the header or the mode for its type, so both must agree.
func write(target string, header *tar.Header, data io.Reader) error {
	mode := header.FileInfo().Mode()
	switch {
	case header.Typeflag == tar.TypeDir && mode.IsDir():
		return os.MkdirAll(target, 0o755)
	case header.Typeflag == tar.TypeReg && mode.IsRegular():
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		content, err := io.ReadAll(data)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	}
	return fmt.Errorf("%q has type %q and mode %v", header.Name, header.Typeflag, mode)
}

func pack(archive, directory string, paths []string) error {
	file, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	members := tar.NewWriter(file)
	for _, path := range paths {
		if err := add(members, directory, path); err != nil {
			return err
		}
	}
	return members.Close()
}

func add(members *tar.Writer, directory, path string) error {
	target := filepath.Join(directory, path)
	info, err := os.Stat(target)
	if err != nil {
		return err
	}
	header, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return err
	}
	header.Name = path
	if err := members.WriteHeader(header); err != nil {
		return err
	}
	data, err := os.ReadFile(target)
	if err != nil {
		return err
	}
	_, err = members.Write(data)
	return err
}

func main() {
	err := errors.New("usage: archive unpack|pack ARCHIVE DIRECTORY [PATH...]")
	if len(os.Args) >= 4 {
		switch os.Args[1] {
		case "unpack":
			err = unpack(os.Args[2], os.Args[3])
		case "pack":
			err = pack(os.Args[2], os.Args[3], os.Args[4:])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
