package kiosk

// lang is a language of the pages.
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
	t, ok := texts[key]
	if !ok {
		return key
	}
	if l == chinese {
		return t[1]
	}
	return t[0]
}

// texts are the words of the kiosk, by the glossary of the design. en, then zh-CN.
var texts = map[string][2]string{
	"dock":     {"Station", "采集站"},
	"skip":     {"To the content", "跳到内容"},
	"language": {"中文", "English"},
	"tiles":    {"Slots", "采集位"},
	"slot":     {"Slot", "采集位"},
	"back":     {"All slots", "全部采集位"},
	"today":    {"today", "今天"},
	"minutes":  {"about %d min left", "约剩 %d 分钟"},
	"hours":    {"about %d h %d min left", "约剩 %d 小时 %d 分钟"},
	"sorry":    {"Not here", "无法显示"},

	// The line that says how the dock is.
	"online":         {"online", "在线"},
	"offline":        {"offline: everything is kept here and sent later", "离线：全部内容保存在本站，稍后上传"},
	"vault-all":      {"vault: nothing waiting", "证据库：无待上传内容"},
	"vault-waits":    {"vault: %s still to send", "证据库：待上传 %s"},
	"tpm-ok":         {"TPM ok", "TPM 正常"},
	"tpm-not":        {"TPM: see below", "TPM：见下方提示"},
	"software":       {"trial: software-sealed, no TPM", "软件签封（试用），无 TPM"},
	"free":           {"space here: %s", "本站剩余空间：%s"},
	"tpm-trouble":    {"The TPM does not answer as it should: %s. Recorders are still taken in, and sealed once it does. Call the person in charge of this station.", "TPM 异常：%s。采集照常进行，恢复后补签封。请联系采集站负责人。"},
	"bridge-trouble": {"Slots can't be read as they should: %s. Footage on recorders is untouched. Call the person in charge of this station.", "采集位读取异常：%s。执法记录仪中的内容未受影响。请联系采集站负责人。"},
	"alarms":         {"What is wrong with this station", "本站异常"},
	"lost":           {"Not connected to the station's program. What you see is from %s. Footage on recorders and in this station is untouched. Wait; if this stays, call the person in charge.", "页面与采集站程序的连接已中断，当前显示的是 %s 的情况。执法记录仪和本站内的内容未受影响。请稍候；若持续中断，请联系采集站负责人。"},
	"waiting":        {"Headers to confirm: %d", "待确认的执法信息说明：%d"},
	"waiting-late":   {", late: %d", "，其中逾期：%d"},
	"waiting-none":   {"No header waits to be confirmed", "没有待确认的执法信息说明"},
	"also-gone":      {"also of recorders that are gone", "含已取走的执法记录仪"},

	// Tiles.
	"tile-empty":        {"Empty", "空闲"},
	"tile-reading":      {"Reading", "采集中"},
	"tile-copied":       {"Safe to take", "已采集，可取走，请勿清空"},
	"tile-stored":       {"Stored, may be erased", "已入库，可按许可清空"},
	"tile-released":     {"Released", "记录已清空"},
	"tile-needs-header": {"Needs a header", "待确认执法信息说明"},
	"tile-fault":        {"Fault", "故障"},
	"do-empty":          {"Put a recorder in.", "请放入执法记录仪。"},
	"do-reading":        {"Leave it in.", "请勿取出。"},
	"do-copied":         {"Copied and sealed here. Do not erase it.", "已复制到本站并签封。"},
	"do-stored":         {"Everything is stored. Erase it only on its permit.", "全部记录已入库锁定。"},
	"do-released":       {"What was stored was released from the recorder, on its permits.", "已入库的记录已按许可从执法记录仪清空。"},
	"do-needs-header":   {"Tap to confirm it. The recorder may be taken; do not erase it.", "点按以确认。记录仪可取走，请勿清空。"},
	"do-fault":          {"Leave the recorder in. Call the person in charge.", "请勿取出，并联系采集站负责人。"},
	"unknown-recorder":  {"recorder without a number", "无编号执法记录仪"},
	"headers-wait":      {"Headers to confirm", "待确认的执法信息说明"},
	"kept-there":        {"%d files stay on the recorder: changed or not readable. A person must look.", "%d 个文件留在执法记录仪内：已变化或无法读取，需人工处理。"},
	"export-due":        {"export by %s", "导出期限：%s"},
	"export-overdue":    {"export was due %s", "导出已逾期：%s"},
	"goes-first":        {"goes first", "优先采集"},
	"space":             {"recorder: %s of %s free", "记录仪剩余 %s / %s"},
	"battery":           {"battery %d %%", "电量 %d %%"},
	"listing":           {"looking for files, %d so far", "正在查找文件，已找到 %d 个"},
	"files-done":        {"%d of %d files", "文件 %d / %d"},
	"progress":          {"read so far", "采集进度"},

	// A slot and its groups.
	"take-first":    {"Take this slot first", "优先采集此位"},
	"said-first":    {"This slot goes first now.", "此采集位现已优先。"},
	"groups":        {"Recordings", "音像记录"},
	"groups-none":   {"There are no recordings here.", "此处没有音像记录。"},
	"groups-more":   {"%d more are not shown here. Confirm those above first.", "另有 %d 组未显示，请先确认以上各组。"},
	"items-more":    {"%d more recordings in this group", "本组另有 %d 份音像记录"},
	"confirm-open":  {"Confirm the header", "确认执法信息说明"},
	"show-open":     {"Show or correct", "查看或更正"},
	"no-header-yet": {"header to be confirmed", "待确认执法信息说明"},
	"header-there":  {"header confirmed", "执法信息说明已确认"},
	"split-here":    {"A new matter begins here", "从此处另成一组"},
	"join-next":     {"Belongs together with the next group", "与下一组合并"},
	"said-split":    {"Split into two groups.", "已分为两组。"},
	"said-join":     {"Joined into one group.", "已合并为一组。"},
	"due":           {"header due %s", "说明期限：%s"},
	"was-due":       {"late: header was due %s", "逾期：说明期限为 %s"},
	"recorder":      {"recorder", "执法记录仪"},
	"important":     {"important", "重点标记"},
	"marks-there":   {"marks", "标记数"},
	"clock-claim":   {"recorder's clock", "记录仪时钟"},
	"item-reading":  {"reading", "采集中"},
	"item-sealed":   {"sealed here", "已签封"},
	"item-stored":   {"stored", "已入库锁定"},
	"item-released": {"released", "已清空"},
	"item-faulty":   {"fault", "故障"},
	"kind-video":    {"video", "视频"},
	"kind-sound":    {"sound", "录音"},
	"kind-photo":    {"photo", "照片"},
	"kind-log":      {"log", "日志"},
	"kind-track":    {"positions", "定位轨迹"},
	"kind-other":    {"other", "其他"},
	"headers":       {"Headers to confirm", "待确认的执法信息说明"},
	"headers-say":   {"All recordings that wait for a header, of recorders that are gone too.", "所有待确认执法信息说明的音像记录，含已取走的执法记录仪。"},

	// The header.
	"group":               {"Case header", "执法信息说明"},
	"heard":               {"What was heard", "语音说明"},
	"not-heard":           {"Nothing has been listened to yet. You may type the header now.", "尚未识别语音。可以现在手动填写。"},
	"no-speech":           {"No speech was found at the beginning.", "开头未检测到语音。"},
	"heard-failed":        {"Nothing was understood: %s The sound is kept with the recording.", "未能识别：%s 声音随音像记录保存。"},
	"play":                {"Play", "播放"},
	"stop":                {"Stop", "停止"},
	"play-failed":         {"The sound can't be played here. It is kept with the recording.", "此处无法播放声音。声音随音像记录保存。"},
	"engine":              {"engine", "识别引擎"},
	"sure":                {"confidence", "置信度"},
	"a-claim":             {"What was heard is only a claim until you confirm it.", "识别结果须经确认方为有效。"},
	"use-heard":           {"Something was heard meanwhile: put it into the fields", "已识别到语音说明：填入各栏"},
	"I-spoke":             {"I have listened: the header is spoken in this stretch", "我已听过：此段为语音说明"},
	"department":          {"Department", "执法部门"},
	"officers":            {"Officers", "执法人员"},
	"cause":               {"Cause", "事由"},
	"time":                {"Time", "时间"},
	"place":               {"Place", "地点"},
	"activity":            {"Activity", "执法活动"},
	"case":                {"Case number", "案件编号"},
	"companions":          {"Companions", "同行人员"},
	"companions-how":      {"several: with a comma between", "多人以顿号分隔"},
	"further":             {"Further", "其他说明"},
	"more-fields":         {"Companions and further", "同行人员及其他说明"},
	"further-name":        {"What", "项目"},
	"further-value":       {"Says", "内容"},
	"officer-name":        {"Name", "姓名"},
	"certificate":         {"Certificate no.", "执法证号"},
	"remove":              {"Remove", "移除"},
	"choose":              {"Choose", "选择"},
	"choose-officer":      {"Add from the register", "从名册添加"},
	"filter":              {"Search the list", "搜索列表"},
	"field-matched":       {"heard and matched", "已识别，与名册一致"},
	"field-heard":         {"heard, not in the register", "已识别，名册中无"},
	"field-missing":       {"missing", "缺失"},
	"field-typed":         {"typed", "手动填写"},
	"field-offered":       {"not heard, suggested: check it", "未识别，系统建议，请核对"},
	"confirm":             {"Confirm 确认", "确认"},
	"no-voice":            {"no spoken header (无语音说明)", "无语音说明"},
	"no-voice-will":       {"Typed only: this header will be labelled 无语音说明 (no spoken header).", "仅手动填写：将标注“无语音说明”。"},
	"late":                {"late", "逾期"},
	"certificate-invalid": {"certificate not valid", "执法证无效"},
	"certificate-unknown": {"certificate not in the register", "名册中无此执法证"},
	"certificate-by":      {"Your certificate is not valid today. You may go on; this will be flagged.", "您的执法证目前无效。可以继续，但会作出标注。"},
	"no-register-type":    {"The register has not been received yet: nothing to choose from. Type what is missing; it is kept all the same.", "尚未收到名册，无可选项。请手动填写，内容照常保存。"},
	"confirmed":           {"Confirmed header", "已确认的执法信息说明"},
	"confirmed-by":        {"Confirmed by", "确认人"},
	"spoken":              {"Spoken", "语音说明"},
	"correct-header":      {"Correct the header", "更正执法信息说明"},
	"correct-note":        {"Correct the note", "更正文字说明"},
	"correct-says":        {"A correction is added. What was confirmed before stays in the chain.", "更正将追加记录，先前确认的内容保留在哈希链中。"},
	"note":                {"Text note", "文字说明"},
	"note-says":           {"In short: what happened, with what result.", "简要说明：经过和结果。"},
	"note-save":           {"Save the note", "保存文字说明"},
	"mark":                {"Important mark", "重点标记"},
	"mark-add":            {"Add the mark", "添加标记"},
	"mark-rec":            {"Recording", "音像记录"},
	"moment":              {"Moment (min:sec)", "时刻（分:秒）"},
	"mark-text":           {"What is to be seen", "标记说明"},
	"said-header":         {"The header is confirmed and kept here.", "执法信息说明已确认，并已保存在本站。"},
	"said-note":           {"The note is kept here.", "文字说明已保存在本站。"},
	"said-mark":           {"The mark is kept here.", "重点标记已保存在本站。"},
	"all-done":            {"Nothing more is needed for these recordings.", "这些音像记录无需再作说明。"},
	"next-header":         {"Next header to confirm", "下一份待确认的执法信息说明"},

	// What was not recorded.
	"unrecorded":      {"Not recorded", "未作音像记录"},
	"unrecorded-says": {"Say which act was not recorded, and why. It is sealed like a recording.", "请说明哪项执法活动未作音像记录及其原因。该说明与音像记录同样签封。"},
	"reason":          {"Reason", "原因"},
	"unrecorded-save": {"Save", "保存"},
	"said-unrecorded": {"Kept here: an act that was not recorded, with its reason.", "未作音像记录的情况及原因已保存在本站。"},

	// Sign-in.
	"sign-in":      {"Sign in", "登录"},
	"sign-out":     {"Sign out", "退出登录"},
	"signed-out":   {"You are signed out.", "已退出登录。"},
	"card":         {"Hold your card to the reader", "请刷卡"},
	"card-number":  {"Card number", "卡号"},
	"or-pin":       {"Or certificate number and PIN", "或输入执法证号和 PIN 码"},
	"pin":          {"PIN", "PIN 码"},
	"keypad":       {"Keypad", "数字键盘"},
	"delete":       {"Delete", "删除"},
	"kept-typed":   {"You were signed out after five minutes. What you typed is kept, and comes back after the sign-in.", "超过五分钟未操作，已自动退出。所填内容已保留，登录后将恢复。"},
	"sign-in-note": {"You are signed out after five minutes without a touch.", "五分钟无操作将自动退出登录。"},

	// The keys.
	"keys":            {"Keys", "快捷键"},
	"keys-close":      {"Close", "关闭"},
	"key-tab":         {"to the next thing, Shift and Tab to the one before", "下一项；Shift+Tab 返回上一项"},
	"key-enter":       {"opens or presses it", "打开或按下"},
	"key-tiles":       {"all slots", "全部采集位"},
	"key-headers":     {"headers to confirm", "待确认的执法信息说明"},
	"key-unrecorded":  {"not recorded", "未作音像记录"},
	"key-sign":        {"sign in or out", "登录或退出"},
	"key-language":    {"the other language", "切换语言"},
	"key-question":    {"this list", "显示本列表"},
	"key-tab-name":    {"Tab", "Tab"},
	"key-enter-name":  {"Enter, space bar", "Enter、空格键"},
	"key-escape":      {"closes this list", "关闭本列表"},
	"key-escape-name": {"Esc", "Esc"},

	// What went wrong: what happened, what was kept, what to do.
	"no-page":          {"There is no such page. Nothing was changed. Go back to the slots.", "没有此页面。未作任何更改。请返回采集位页面。"},
	"no-group":         {"There are no such recordings, or they were split or joined meanwhile. Nothing was changed. Go back and choose again.", "没有这组音像记录，或其分组已变动。未作任何更改。请返回后重新选择。"},
	"no-slot":          {"There is no such slot, or it is not in use. Nothing was changed. Go back to the slots.", "没有此采集位，或该位未使用。未作任何更改。请返回采集位页面。"},
	"not-here":         {"This page answers only on the station it runs on. Nothing was changed. Use http://localhost there.", "本页面仅供本采集站访问。未作任何更改。请在本站使用 http://localhost。"},
	"other-page":       {"This was sent by a page that is not the station's own. Nothing was changed. Use the station's page.", "此请求并非来自本站页面。未作任何更改。请使用本站页面。"},
	"too-much":         {"That was more than a form may hold, or was garbled. Nothing was changed. Go back and write less.", "内容超出表单上限或已损坏。未作任何更改。请返回并精简内容。"},
	"too-many-pages":   {"Too many pages of this station are open at once. Nothing was changed. Close some.", "同时打开的本站页面过多。未作任何更改。请关闭部分页面。"},
	"trouble":          {"That could not be done: a fault of this station. Recordings and what was confirmed before are safe. Try again; if it stays, call the person in charge.", "操作未能完成：本站出现故障。音像记录和先前确认的内容均完好。请重试；若仍不成功，请联系采集站负责人。"},
	"sign-in-wrong":    {"Card, or certificate number and PIN, not known. Nothing was changed. Try again, or ask the person in charge.", "卡号，或执法证号与 PIN 码不正确。未作任何更改。请重试，或联系采集站负责人。"},
	"sign-in-empty":    {"Nobody was signed in: a card, or a certificate number and a PIN, is needed. Try again.", "未能登录：请刷卡，或输入执法证号和 PIN 码。"},
	"sign-in-first":    {"Only an officer who is signed in may hear this. Nothing was changed. Sign in first.", "仅登录的执法人员可收听。未作任何更改。请先登录。"},
	"too-many":         {"Too many attempts. Nothing was changed. Wait a minute, then try again.", "尝试次数过多。未作任何更改。请等待一分钟后重试。"},
	"no-register":      {"The register of officers has not been received from the server yet, so nobody can sign in. Recorders are taken in and may be taken as usual. Try again once the station is online.", "尚未从服务器收到执法人员名册，暂时无法登录。采集和取走执法记录仪不受影响。请在采集站联网后重试。"},
	"incomplete":       {"Not confirmed yet: department, officers, cause, time and place are all needed. What you typed is still here. Fill in what is missing.", "尚未确认：执法部门、人员、事由、时间、地点均须填写。所填内容仍在。请补全缺失项。"},
	"nameless":         {"Not confirmed yet: an officer or a further entry has no name. What you typed is still here. Fill it in.", "尚未确认：有执法人员或其他说明缺少名称。所填内容仍在。请补全。"},
	"too-long":         {"Not taken: a field holds more than 500 characters, a note more than 2000, or signs that are not text. Nothing else was changed. Shorten it.", "未保存：单栏超过 500 字、说明超过 2000 字，或含有非文本字符。其他内容未变。请精简。"},
	"too-many-persons": {"Not taken: more than 12 officers, companions or further entries. What you typed is still here. Put the rest into the note.", "未保存：执法人员、同行人员或其他说明超过 12 项。所填内容仍在。其余请写入文字说明。"},
	"note-empty":       {"Not saved: the note is empty. Nothing was changed. Write what happened.", "未保存：文字说明为空。未作任何更改。请填写经过。"},
	"mark-empty":       {"Not saved: say what is to be seen at that moment. What you typed is still here.", "未保存：请填写该时刻的标记说明。所填内容仍在。"},
	"moment-wrong":     {"Not saved: the moment is not a time such as 3:12. What you typed is still here. Mend it.", "未保存：时刻格式应如 3:12。所填内容仍在。请更正。"},
	"activity-empty":   {"Not saved: say which activity it was. What you typed is still here.", "未保存：请填写执法活动。所填内容仍在。"},
	"reason-empty":     {"Not saved: say why it was not recorded. What you typed is still here.", "未保存：请填写未作音像记录的原因。所填内容仍在。"},
}
