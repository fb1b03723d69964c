// What a run says beyond what the chat says, in the same languages and in the order of `SAYINGS`.
const SAYINGS = "wait finished failed cancelled gone expired again submit done required needed yes no choose low high check".split(" ");

const SPOKEN = {
  en: "Please wait…|That was all. Thank you!|Something went wrong on our side. This cannot go on.|This was cancelled.|This is no longer available.|The time for this is over.|Start again|Submit|I am done|required|This needs an answer.|Yes|No|Please choose|Not at all likely|Extremely likely|Please check your answers.",
  de: "Bitte warten…|Das war alles. Vielen Dank!|Bei uns ist etwas schiefgegangen. Hier geht es nicht weiter.|Dies wurde abgebrochen.|Dies ist nicht mehr verfügbar.|Die Zeit hierfür ist abgelaufen.|Neu beginnen|Absenden|Ich bin fertig|erforderlich|Hier fehlt eine Antwort.|Ja|Nein|Bitte wählen|Äußerst unwahrscheinlich|Äußerst wahrscheinlich|Bitte prüfen Sie Ihre Antworten.",
  nl: "Even wachten…|Dat was alles. Bedankt!|Er ging bij ons iets mis. Dit kan niet verder.|Dit is geannuleerd.|Dit is niet meer beschikbaar.|De tijd hiervoor is voorbij.|Opnieuw beginnen|Versturen|Ik ben klaar|verplicht|Hier ontbreekt een antwoord.|Ja|Nee|Maak een keuze|Zeer onwaarschijnlijk|Zeer waarschijnlijk|Controleer uw antwoorden.",
  fr: "Veuillez patienter…|C’est terminé. Merci !|Une erreur est survenue de notre côté. Impossible de continuer.|Ceci a été annulé.|Ceci n’est plus disponible.|Le temps imparti est écoulé.|Recommencer|Valider|J’ai terminé|obligatoire|Une réponse est nécessaire.|Oui|Non|Veuillez choisir|Pas du tout probable|Très probable|Veuillez vérifier vos réponses.",
  it: "Attendi…|È tutto. Grazie!|Qualcosa è andato storto da parte nostra. Non si può continuare.|È stato annullato.|Non è più disponibile.|Il tempo è scaduto.|Ricomincia|Invia|Ho finito|obbligatorio|Serve una risposta.|Sì|No|Scegli|Per niente probabile|Molto probabile|Controlla le risposte.",
  es: "Espere, por favor…|Eso es todo. ¡Gracias!|Algo ha fallado por nuestra parte. No se puede continuar.|Se ha cancelado.|Ya no está disponible.|El tiempo se ha agotado.|Empezar de nuevo|Enviar|He terminado|obligatorio|Se necesita una respuesta.|Sí|No|Elija una opción|Nada probable|Muy probable|Revise sus respuestas.",
  pt: "Aguarde…|É tudo. Obrigado!|Algo correu mal do nosso lado. Não é possível continuar.|Isto foi cancelado.|Isto já não está disponível.|O tempo terminou.|Começar de novo|Enviar|Terminei|obrigatório|É necessária uma resposta.|Sim|Não|Escolha|Nada provável|Muito provável|Verifique as suas respostas.",
  ja: "お待ちください…|以上です。ありがとうございました。|こちらで問題が発生しました。続けることができません。|取り消されました。|現在ご利用いただけません。|有効期限が切れました。|最初から始める|送信|完了しました|必須|回答してください。|はい|いいえ|選択してください|まったくそう思わない|非常にそう思う|回答をご確認ください。",
  zh: "请稍候…|已全部完成，谢谢！|我们这边出了问题，无法继续。|已取消。|已不再可用。|时间已到。|重新开始|提交|我已完成|必填|请回答此问题。|是|否|请选择|完全不可能|非常可能|请检查您的回答。",
  ar: "يرجى الانتظار…|هذا كل شيء. شكرًا لك!|حدث خطأ من جانبنا. لا يمكن المتابعة.|تم الإلغاء.|لم يعد هذا متاحًا.|انتهى الوقت.|البدء من جديد|إرسال|انتهيت|مطلوب|هذا السؤال يحتاج إلى إجابة.|نعم|لا|يرجى الاختيار|غير محتمل إطلاقًا|محتمل جدًا|يرجى مراجعة إجاباتك.",
};

const sayingsOf = (tag) => {
  const words = (SPOKEN[tag.slice(0, 2).toLowerCase()] || SPOKEN.en).split("|");
  return Object.fromEntries(SAYINGS.map((name, at) => [name, words[at]]));
};
