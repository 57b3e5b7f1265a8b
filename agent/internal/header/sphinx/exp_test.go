package sphinx
import ("testing";"bytes";"time";"fmt";"strings";"os";"camseal/agent/internal/header";"camseal/agent/internal/header/headertest";"camseal/agent/internal/header/sound";"camseal/agent/internal/header/words")
func TestExp(t *testing.T){
 te,tw:=0,0
 for _,v:=range headertest.Voices { ve,vw:=0,0; var conf []string
 for i,h:=range headertest.Headers(){
  f:=fmt.Sprintf("/tmp/sp/cache/%s-%d.wav",strings.ReplaceAll(v,":","_"),i)
  var s []int16
  if b,err:=os.ReadFile(f);err==nil{ s,_=sound.ReadWAV(bytes.NewReader(b),1<<22)} else { s,err=headertest.Say(t.Context(),v,h.Text); if err!=nil{t.Fatal(err)}; os.MkdirAll("/tmp/sp/cache",0o755); os.WriteFile(f,sound.WAV(s),0o644)}
  begin:=time.Now()
  tr,err:=(&Engine{}).Transcribe(t.Context(),bytes.NewReader(sound.WAV(s)),header.Hints{Register:headertest.Register()})
  d:=time.Since(begin)
  if err!=nil { t.Log(v,i,err) }
  said:=strings.Fields(words.Plain(h.Text)); heard:=strings.Fields(tr.Text)
  e,w:=headertest.WordErrors(said,heard); ve+=e;vw+=w
  conf=append(conf,fmt.Sprintf("%d:%d/%d %dms",tr.Confidence,e,w,d.Milliseconds()))
  if e>0 && os.Getenv("V")!="" {t.Logf("%s %d: %d/%d\n  %s\n  %s",v,i,e,w,strings.Join(said," "),tr.Text)}
 }
 te+=ve;tw+=vw
 t.Logf("%s WER %.1f %% %v",v,100*float64(ve)/float64(vw),conf)
 }
 t.Logf("all %.2f",100*float64(te)/float64(tw))
}
