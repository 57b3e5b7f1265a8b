package web

// textsMedia are the words about what was made from originals for looking at.
var textsMedia = map[string][2]string{
	"derived-says":  {"Derived copy: this server made it from the original so that a browser can play it. It is not the evidence. The original lies untouched in the vault, and in the bundle.", "衍生副本：由本服务器根据原件转换而成，供浏览器播放，不是证据本身。原件未经改动，保存在证据库和证据包中。"},
	"derived-how":   {"How it was made", "制作方式"},
	"derived-tool":  {"Made by", "制作工具"},
	"derived-from":  {"From the original with SHA-256", "所依据原件的 SHA-256"},
	"derived-hash":  {"SHA-256 of the copy", "副本的 SHA-256"},
	"derived-with":  {"Settings", "参数"},
	"derived-asked": {"Asked for by", "申请人"},

	"odd-format":   {"A browser can't show this format (%s). The original lies untouched in the vault, and in the bundle.", "浏览器无法显示此格式（%s）。原件未经改动，保存在证据库和证据包中。"},
	"derive":       {"Make a derived copy", "制作衍生副本"},
	"derive-again": {"Try again", "重新制作"},
	"derive-do":    {"The copy is made once, locked like the original, and entered in the chain of custody.", "副本只制作一次，与原件同等锁定，并记入证据保管链。"},
	"copy-queued":  {"A derived copy is asked for and waits its turn.", "已申请制作衍生副本，正在排队。"},
	"copy-making":  {"The derived copy is being made. This can take as long as the footage itself.", "正在制作衍生副本，所需时间可能与录像本身相当。"},
	"copy-failed":  {"The derived copy could not be made.", "未能制作衍生副本。"},
	"look-again":   {"Look again", "刷新"},
	"no-ffmpeg":    {"Posters, waveforms and derived copies are not made at present: ffmpeg does not run on this server. The evidence is not affected. An administrator can install ffmpeg and bubblewrap.", "目前无法制作海报图、波形和衍生副本：本服务器无法运行 ffmpeg。证据不受影响。请系统管理员安装 ffmpeg 和 bubblewrap。"},

	"not-made":            {"Not all pictures of this recording could be made. The original is not affected.", "未能制作本记录的全部预览图。原件不受影响。"},
	"made-again":          {"It is tried again by itself.", "系统会自动重试。"},
	"failure-unreadable":  {"ffmpeg can't read it: it may be cut off, damaged, or not what its name says.", "ffmpeg 无法读取：文件可能被截断、损坏，或与名称不符。"},
	"failure-time":        {"It took too long and was ended.", "处理时间过长，已终止。"},
	"failure-flood":       {"It gave more than it may and was ended.", "输出超过上限，已终止。"},
	"failure-wrong-bytes": {"The vault holds bytes that are not what the recorder sealed. Nothing was made of them. Tell the custodian, and check the bundle.", "证据库中的数据与签封不一致，未据此制作任何内容。请通知证据管理员并校验证据包。"},
	"failure-space":       {"There is not enough room on the server's disk for a temporary copy.", "服务器磁盘空间不足，无法生成临时副本。"},
	"failure-vault":       {"The vault can't be reached at present.", "目前无法访问证据库。"},
	"failure-sandbox":     {"The sandbox for ffmpeg could not be set up. An administrator can see why in the server's log.", "无法启动 ffmpeg 的沙箱，详情见服务器日志。"},
	"failure-interrupted": {"The server was ended while it worked on it.", "处理过程中服务器被终止。"},
	"failure-trouble":     {"Something went wrong on the server. Its log says more.", "服务器出现问题，详情见服务器日志。"},

	"no-copy":    {"There is no derived copy: browsers can play this recording as it is, it can't be played at all, or it is not stored whole yet. Nothing was changed. Go back to the recording.", "没有衍生副本：本记录浏览器可直接播放、或无法播放、或尚未全部入库。未作任何更改，请返回该记录。"},
	"copy-wrong": {"The vault's derived copy is gone or changed, so it is not shown. The original is another object and is not affected by this. Tell the custodian; the server's log says more.", "证据库中的衍生副本丢失或被改动，因此不予显示。原件是独立对象，不受此影响。请通知证据管理员，详情见服务器日志。"},

	"act-derived-asked": {"derived copy asked for", "申请制作衍生副本"},
	"act-derived-made":  {"derived copy made", "制作衍生副本"},
}
