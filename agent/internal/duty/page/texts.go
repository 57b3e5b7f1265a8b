package page

// lang is a language of the page.
type lang string

const (
	english lang = "en"
	chinese lang = "zh-CN"
)

// Other is the other language.
func (l lang) Other() lang {
	if l == english {
		return chinese
	}
	return english
}

// in returns a text in this language.
func (l lang) in(key string) string {
	t := texts[key]
	if l == chinese {
		return t[1]
	}
	return t[0]
}

// texts are the words of the page, by the glossary of the design: en, then zh-CN.
var texts = map[string][2]string{
	"title":    {"Recorder", "执法记录仪"},
	"language": {"中文", "English"},
	"lost":     {"Not connected to the agent. What you see may be old. What was sealed is kept. If this stays, call the person in charge.", "页面与程序的连接已中断，显示内容可能不是最新。已签封的内容已保存。若持续中断，请联系负责人。"},

	"recording": {"RECORDING", "正在录制"},
	"ready":     {"READY", "就绪"},
	"no-camera": {"NO CAMERA", "无摄像机"},

	"do-recording": {"Every segment is sealed as it closes.", "每一分段完成后立即签封。"},
	"do-ready":     {"Not recording.", "当前未录制。"},
	"do-buffered":  {"Not recording. The last %d s will be in it when you start.", "当前未录制。开始录制时将包含之前 %d 秒。"},
	"do-no-camera": {"Nothing can be recorded. It connects by itself as soon as the camera is there.", "无法录制。摄像机恢复后将自动连接。"},
	"gap":          {"The camera sends nothing. The recording stays open and goes on by itself.", "摄像机无信号。录制保持打开，恢复后自动继续。"},

	"say-header":   {"Say the header now", "请口述执法信息说明"},
	"header-tells": {"Who, why, when, where, which case. Press the button when you have finished.", "执法人员、事由、时间、地点、案号。说完后请按“说明完毕”。"},

	"watched":      {"WATCHED LIVE: %d", "正被实时观看：%d 人"},
	"live-out":     {"The picture goes out live; nobody watches at the moment.", "正在发送实时画面，暂无人观看。"},
	"live-trouble": {"Live viewing is wanted, but the picture does not go out yet.", "已请求实时观看，画面尚未送出。"},

	"start":      {"Start", "开始录制"},
	"stop":       {"Stop", "结束录制"},
	"mark":       {"Mark", "重点标记"},
	"header-end": {"Header finished", "说明完毕"},
	"controls":   {"Controls", "操作"},

	"said-start":      {"The recording has begun.", "已开始录制。"},
	"said-stop":       {"The recording has ended. It is kept here until it is stored.", "录制已结束。内容保存在本机，直至入库。"},
	"said-mark":       {"This moment is marked.", "已标记此刻。"},
	"said-header-end": {"The spoken header is finished.", "语音说明已结束。"},

	"wrong-recording": {"Not begun: a recording is being made already. It goes on.", "未开始：录制已在进行，并继续进行。"},
	"wrong-idle":      {"Not done: no recording is being made. Start one first.", "未执行：当前未录制。请先开始录制。"},
	"wrong-no-camera": {"Not begun: there is no camera. Check it and its cable; it connects by itself.", "未开始：无摄像机。请检查摄像机和线缆，恢复后自动连接。"},
	"wrong-failed":    {"Not done; what is recorded is kept. Look below for what is wrong, and try again; if it stays, call the person in charge.", "未执行；已录内容已保存。请查看下方提示后重试；若仍失败，请联系负责人。"},

	"facts":     {"How it is", "状态"},
	"behind":    {"To be confirmed", "待确认入库分段"},
	"behind-no": {"nothing", "无"},
	"server":    {"Server", "服务器"},
	"online":    {"✓ connected", "✓ 已连接"},
	"offline":   {"○ not reached: all is kept here", "○ 未连接：内容保存在本机"},
	"seal":      {"Seal", "签封"},
	"sealed":    {"✓ TPM ok", "✓ TPM 正常"},
	"unsealed":  {"! waits: %d", "! 待签封：%d"},
	"seal-not":  {"✗ see below", "✗ 见下方提示"},
	"software":  {"! trial: no TPM", "! 试用：无 TPM"},
	"room":      {"Storage used", "存储已用"},
	"camera":    {"Camera", "摄像机"},
	"link":      {"Link", "网络"},
	"wifi":      {"Wi-Fi", "Wi-Fi"},
	"mobile":    {"mobile", "移动网络"},
	"dock":      {"dock", "采集站"},
	"position":  {"Position", "位置"},
	"by":        {"Begun by", "录制发起"},

	"by-button":        {"button", "按钮"},
	"by-key":           {"key", "按键"},
	"by-schedule":      {"schedule", "定时"},
	"by-configuration": {"configuration", "配置"},
	"by-page":          {"this page", "本页面"},
	"by-restart":       {"restart of the agent", "程序重启"},

	"troubles": {"What is wrong", "异常"},

	"sorry":       {"Not done", "未执行"},
	"sorry-host":  {"This page answers only on the recorder itself. Nothing was changed. Open it as http://127.0.0.1 with its port.", "本页面仅在记录仪本机上应答。未作任何更改。请使用 http://127.0.0.1 加端口打开。"},
	"sorry-other": {"Another web page asked for this. Nothing was changed. Use this page's own buttons.", "该请求来自其他网页。未作任何更改。请使用本页面的按钮。"},
	"sorry-much":  {"The request is too long. Nothing was changed. Send less.", "请求内容过长。未作任何更改。请减少内容。"},
	"sorry-none":  {"There is no such page. Nothing was changed.", "没有该页面。未作任何更改。"},
	"sorry-busy":  {"Too many pages are open at once. Nothing was changed. Close some of them.", "同时打开的页面过多。未作任何更改。请关闭一些。"},
	"back":        {"Back to the recorder", "返回记录仪页面"},
}
