import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './App'
import { language } from './i18n/text'
import './design/tokens.css'
import './design/base.css'
import './design/layout.css'
import './design/controls.css'

document.documentElement.lang = language()
const root = document.getElementById('root')
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  )
}
