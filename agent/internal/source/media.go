package source

import (
	"net/http"
	"path/filepath"
	"strings"
)

// types are the media types of what recorders write. What is not here is recognised by its first bytes.
var types = map[string]string{
	".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".avi": "video/x-msvideo", ".mkv": "video/x-matroska",
	".webm": "video/webm", ".ts": "video/mp2t", ".mts": "video/mp2t", ".m2ts": "video/mp2t", ".mpg": "video/mpeg",
	".mpeg": "video/mpeg", ".3gp": "video/3gpp", ".wmv": "video/x-ms-wmv", ".flv": "video/x-flv",
	".mp3": "audio/mpeg", ".wav": "audio/wav", ".aac": "audio/aac", ".m4a": "audio/mp4", ".ogg": "audio/ogg", ".amr": "audio/amr",
	".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".heic": "image/heic",
	".txt": "text/plain", ".json": "application/json", ".log": "text/plain", ".gpx": "application/gpx+xml", ".nmea": "text/plain",
}

// mediaType names a file's type by its name, or else its first bytes. It is for display: nothing else depends on it.
func mediaType(name string, head []byte) string {
	if t, ok := types[strings.ToLower(filepath.Ext(name))]; ok {
		return t
	}
	if len(head) == 0 {
		return "application/octet-stream"
	}
	return http.DetectContentType(head)
}
